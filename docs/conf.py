"""Sphinx configuration: pages in Markdown, reference from the code, figures drawn by the code."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "openpose_ext"
author = "the openpose_ext developers"
version = release = installed_version("openpose_ext")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "docstrings",
    "figures",
    "flags",
    "live",
]
exclude_patterns = ["_ext", "live"]
html_theme = "furo"
html_title = f"openpose_ext {version}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
