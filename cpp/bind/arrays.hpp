// NumPy arrays <-> the core's types. The only place that looks at dtypes and strides.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "openpose_ext/maps.hpp"

namespace openpose_ext::bind {

namespace py = pybind11;

// The array a view looks at, kept alive beside it. View is MapView, or Maps<T> for the reference.
template <class View>
struct Held {
    py::array array;
    View view;
};

// Maps the core can walk without a copy: rows of adjacent, aligned, native T.
template <class T>
bool is_walkable(const py::array& array) {
    const auto row = array.strides(1);
    const auto last =
        std::numeric_limits<std::int32_t>::max() / std::max<py::ssize_t>(array.shape(1), 1);
    return py::isinstance<py::array_t<T>>(array) && array.strides(2) == sizeof(T) &&
           array.strides(0) % static_cast<py::ssize_t>(sizeof(T)) == 0 &&
           row % static_cast<py::ssize_t>(sizeof(T)) == 0 && row / 4 < last && row / 4 > -last &&
           reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0;
}

// Throws ValueError unless the array is (C, H, W) with cells.
inline void check_shape(const py::array& array, const char* name) {
    if (array.ndim() != 3) {
        throw py::value_error(std::string(name) + " must be (channels, height, width), not " +
                              std::to_string(array.ndim()) + "-dimensional");
    }
    const py::ssize_t cells = array.shape(1) * array.shape(2);
    if (cells == 0 || cells > std::numeric_limits<std::int32_t>::max() ||
        array.shape(0) > std::numeric_limits<std::int32_t>::max()) {
        throw py::value_error(std::string(name) + " has " + std::to_string(array.shape(0)) +
                              " maps of " + std::to_string(array.shape(1)) + " x " +
                              std::to_string(array.shape(2)) +
                              " cells; at least one cell and less than 2^31 are needed");
    }
}

// A (C, H, W) array as maps of T. Arrays of T whose rows are adjacent are looked at in place, all
// others are packed. Throws ValueError for another shape.
template <class T>
Held<Maps<T>> as_maps(const py::array& array, const char* name) {
    check_shape(array, name);
    Held<Maps<T>> held;
    held.array = array;
    if (!is_walkable<T>(array)) {
        held.array = py::array_t<T, py::array::c_style | py::array::forcecast>::ensure(array);
        if (!held.array) throw py::error_already_set();
    }
    held.view.data = static_cast<const T*>(held.array.data());
    held.view.channels = static_cast<int>(held.array.shape(0));
    held.view.height = static_cast<int>(held.array.shape(1));
    held.view.width = static_cast<int>(held.array.shape(2));
    held.view.channel_stride = held.array.strides(0) / static_cast<py::ssize_t>(sizeof(T));
    held.view.row_stride = held.array.strides(1) / static_cast<py::ssize_t>(sizeof(T));
    return held;
}

inline bool is_float(const py::array& array, py::ssize_t bytes) {
    return array.dtype().kind() == 'f' && array.itemsize() == bytes;
}

[[noreturn]] inline void refuse_dtype(const py::array& array, const char* name,
                                      const char* accepted) {
    throw py::type_error(std::string(name) + " must be " + accepted + ", not " +
                         py::str(py::object(array.dtype())).cast<std::string>() +
                         "; convert it with .astype(numpy.float32)");
}

// The array's cells of T with their strides, as the core takes them; false where elements are not
// aligned or strides no whole number of them.
template <class T>
bool view_in_place(const py::array& array, MapView& view) {
    constexpr auto kSize = static_cast<py::ssize_t>(sizeof(T));
    if (reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) != 0) return false;
    std::ptrdiff_t before = 0;
    std::ptrdiff_t behind = 0;
    for (int axis = 0; axis < 3; ++axis) {
        if (array.strides(axis) % kSize != 0) return false;
        const std::ptrdiff_t reach = array.strides(axis) / kSize * (array.shape(axis) - 1);
        (reach < 0 ? before : behind) += reach;
    }
    const auto channels = static_cast<int>(array.shape(0));
    const std::span<const T> cells(static_cast<const T*>(array.data()) + before,
                                   channels == 0 ? 0 : behind - before + 1);
    view =
        MapView(cells, channels, static_cast<int>(array.shape(1)), static_cast<int>(array.shape(2)),
                Strides{array.strides(0) / kSize, array.strides(1) / kSize,
                        array.strides(2) / kSize, -before});
    return true;
}

// A (C, H, W) array of float32 or float16 as the core takes it: in place, whatever the strides;
// copied where the bytes are not aligned or not in this machine's order, and for the single stages,
// which need adjacent rows.
inline Held<MapView> as_view(const py::array& array, const char* name, bool adjacent = false) {
    if (!is_float(array, 4) && !is_float(array, 2)) refuse_dtype(array, name, "float32 or float16");
    check_shape(array, name);
    Held<MapView> held;
    held.array = array;
    const bool fits =
        array.dtype().byteorder() == '=' && (!adjacent || array.strides(2) == array.itemsize());
    const bool in_place = fits && (is_float(array, 4) ? view_in_place<float>(array, held.view)
                                                      : view_in_place<float16>(array, held.view));
    if (!in_place) {
        held.array = array.attr("astype")(py::dtype::of<float>(), "C");
        view_in_place<float>(held.array, held.view);
    }
    return held;
}

// A new array that holds a copy of `values`.
template <class T>
py::array_t<T> as_array(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
    return py::array_t<T>(std::move(shape), values.data());
}

// The array, read-only.
template <class T>
py::array_t<T> as_fixed(py::array_t<T> array) {
    py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    return array;
}

}  // namespace openpose_ext::bind
