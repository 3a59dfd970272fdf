#include "openpose_ext/people.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "openpose_ext/openpose_ext.hpp"
#include "skeletons.hpp"

namespace openpose_ext {
namespace {

using testing::Picture;

TEST(People, CanBeWalkedOver) {
    Picture picture(46, 82);
    picture.draw(20, 9, 28);
    picture.draw(55, 12, 22);
    Decoder decoder;
    const MapView heat = picture.heat.view();
    const People& people =
        decoder.decode(heat, picture.paf.view(), coco_18(), Placement::network(8, heat));
    ASSERT_EQ(people.size(), 2);
    int row = 0;
    for (const Person person : people) {
        EXPECT_EQ(person.score(), people.scores[row]);
        ASSERT_EQ(person.size(), 18);
        int part = 0;
        for (const Keypoint point : person) {
            const float* cells = &people.keypoints[3 * (18 * row + part)];
            EXPECT_EQ(point.x, cells[0]);
            EXPECT_EQ(point.y, cells[1]);
            EXPECT_EQ(point.score, cells[2]);
            EXPECT_EQ(point.is_missing(), cells[2] == 0);
            EXPECT_EQ(point.filled, people.filled[18 * row + part] != 0);
            ++part;
        }
        EXPECT_EQ(part, 18);
        ++row;
    }
    EXPECT_EQ(row, 2);
    EXPECT_EQ(people[1][0].x, people.keypoints[3 * 18]);
}

TEST(People, MayBeNobody) {
    const People nobody;
    EXPECT_TRUE(nobody.empty());
    for (const Person person : nobody) FAIL() << person.score();
}

TEST(Placement, NamesTheNumberThatIsWrong) {
    Placement placement;
    placement.shift_y = std::numeric_limits<double>::infinity();
    try {
        placement.check();
        FAIL() << "no error";
    } catch (const std::invalid_argument& error) {
        EXPECT_NE(std::string(error.what()).find("shift_y must be finite, not inf"),
                  std::string::npos)
            << error.what();
    }
    EXPECT_THROW((Placement{1, 0, 1, 0, 0, 5}.check()), std::invalid_argument);
}

TEST(Version, IsOneNumberThatGrows) {
    EXPECT_EQ(OPENPOSE_EXT_VERSION, OPENPOSE_EXT_VERSION_MAJOR * 1000000 +
                                        OPENPOSE_EXT_VERSION_MINOR * 1000 +
                                        OPENPOSE_EXT_VERSION_PATCH);
    EXPECT_EQ(OPENPOSE_EXT_VERSION_STRING, std::to_string(OPENPOSE_EXT_VERSION_MAJOR) + "." +
                                               std::to_string(OPENPOSE_EXT_VERSION_MINOR) + "." +
                                               std::to_string(OPENPOSE_EXT_VERSION_PATCH));
}

}  // namespace
}  // namespace openpose_ext
