#include "openpose_ext/decode_many.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "skeletons.hpp"

namespace openpose_ext {
namespace {

using testing::Canvas;
using testing::Picture;

Job job_of(const Picture& picture) {
    const MapView heat = picture.heat.view();
    return {heat, picture.paf.view(), {1, 0, 1, 0, heat.width(), heat.height()}};
}

TEST(DecodeMany, GivesOnAnyNumberOfThreadsThePeopleOfOneByOne) {
    std::vector<Picture> pictures;
    for (int i = 0; i < 17; ++i) {
        pictures.emplace_back(30 + i, 60);
        for (int person = 0; person < i % 4; ++person) {
            pictures.back().draw(10 + 15 * static_cast<float>(person), 8,
                                 14 + 0.7f * static_cast<float>(i));
        }
    }
    std::vector<Job> jobs;
    for (const Picture& picture : pictures) jobs.push_back(job_of(picture));
    for (const int threads : {1, 2, 5, 64}) {
        const std::vector<People> found = decode_many(jobs, coco_18(), {}, threads);
        ASSERT_EQ(found.size(), jobs.size());
        int people = 0;
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            Decoder decoder;
            const People& expected =
                decoder.decode(jobs[i].heat, jobs[i].paf, coco_18(), jobs[i].placement, {});
            EXPECT_EQ(found[i].count, expected.count);
            EXPECT_EQ(found[i].keypoints, expected.keypoints);
            EXPECT_EQ(found[i].scores, expected.scores);
            EXPECT_EQ(found[i].filled, expected.filled);
            people += found[i].count;
        }
        EXPECT_GT(people, 15);
    }
}

TEST(DecodeMany, OfNothingIsNothing) { EXPECT_TRUE(decode_many({}, coco_18(), {}, 3).empty()); }

TEST(DecodeMany, NeedsAThread) {
    EXPECT_THROW(decode_many({}, coco_18(), {}, 0), std::invalid_argument);
    EXPECT_THROW(decode_many({}, coco_18(), {}, -1), std::invalid_argument);
}

TEST(DecodeMany, RethrowsTheErrorOfTheFirstBadJob) {
    const Picture good(20, 20);
    std::vector<Job> jobs(9, job_of(good));
    const Canvas four(4, 20, 20);
    const Canvas seven(7, 20, 20);
    jobs[3].heat = four.view();
    jobs[6].heat = seven.view();
    for (const int threads : {1, 4}) {
        try {
            decode_many(jobs, coco_18(), {}, threads);
            FAIL() << "no error";
        } catch (const std::invalid_argument& error) {
            EXPECT_NE(std::string(error.what()).find("heat has 4 channels"), std::string::npos);
        }
    }
}

}  // namespace
}  // namespace openpose_ext
