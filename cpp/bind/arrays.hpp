// NumPy arrays <-> the core's types. The only place that looks at dtypes and strides.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "openpose_ext/maps.hpp"

namespace openpose_ext::bind {

namespace py = pybind11;

// The array a view looks at, kept alive beside it.
template <class T>
struct HeldMaps {
    py::array array;
    Maps<T> view;
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

// A (C, H, W) array as maps of T. Arrays of T whose rows are adjacent are looked at in place, all
// others are packed. Throws ValueError for another number of dimensions.
template <class T>
HeldMaps<T> as_maps(const py::array& array, const char* name) {
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
    HeldMaps<T> held;
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

// A new array that holds a copy of `values`.
template <class T>
py::array_t<T> as_array(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
    return py::array_t<T>(std::move(shape), values.data());
}

}  // namespace openpose_ext::bind
