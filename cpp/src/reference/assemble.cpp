#include <algorithm>

#include "openpose_ext/reference.hpp"

namespace openpose_ext::reference {

namespace {

// A row of the seed's subset: ids of the parts or -1, then summed score and count.
using Row = std::vector<double>;

bool disjoint(const Row& one, const Row& other, int parts) {
    for (int k = 0; k < parts; ++k) {
        if (one[k] >= 0 && other[k] >= 0) return false;
    }
    return true;
}

// Puts candidate b into the row's column, whatever is there. The seed counts and adds even if the
// row held another candidate, or this one, already.
void put(Row& row, int column, int id, double gain, int parts) {
    row[column] = id;
    row[parts + 1] += 1;
    row[parts] += gain;
}

}  // namespace

void assemble(const Topology& topology, const Candidates& candidates,
              const std::vector<std::vector<Link>>& links, const DecodeOptions& options,
              std::vector<double>& subset) {
    const int parts = topology.parts;
    std::vector<Row> rows;
    for (std::size_t l = 0; l < topology.limbs.size(); ++l) {
        const Limb& limb = topology.limbs[l];
        for (const Link& link : links[l]) {
            const double peak_a = candidates.all[link.id_a].score;
            const double peak_b = candidates.all[link.id_b].score;
            // The first two rows that hold an end. COCO_18 never has a third; other topologies
            // may, and it is left alone.
            int found[2] = {-1, -1};
            int count = 0;
            for (std::size_t r = 0; r < rows.size() && count < 2; ++r) {
                if (rows[r][limb.a] == link.id_a || rows[r][limb.b] == link.id_b) {
                    found[count++] = static_cast<int>(r);
                }
            }
            if (count == 1) {
                Row& row = rows[found[0]];
                if (row[limb.b] != link.id_b) {
                    put(row, limb.b, link.id_b, peak_b + link.score, parts);
                }
            } else if (count == 2) {
                Row& first = rows[found[0]];
                const Row& second = rows[found[1]];
                if (disjoint(first, second, parts)) {
                    for (int k = 0; k < parts; ++k) first[k] += second[k] + 1;
                    first[parts + 1] += second[parts + 1];
                    first[parts] += second[parts];
                    first[parts] += link.score;
                    rows.erase(rows.begin() + found[1]);
                } else {
                    put(first, limb.b, link.id_b, peak_b + link.score, parts);
                }
            } else if (!limb.redundant) {
                Row row(parts + 2, -1.0);
                row[limb.a] = link.id_a;
                row[limb.b] = link.id_b;
                row[parts] = (peak_a + peak_b) + link.score;
                row[parts + 1] = 2;
                rows.push_back(std::move(row));
            }
        }
    }
    subset.clear();
    for (const Row& row : rows) {
        const double count = row[parts + 1];
        if (count < options.min_parts || row[parts] / count < options.min_score) continue;
        subset.insert(subset.end(), row.begin(), row.end());
    }
}

}  // namespace openpose_ext::reference
