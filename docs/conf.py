"""The site: Sphinx, with pages in Markdown. `sphinx-build -W docs SITE` builds it without a network."""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Notes on CUDA and CPU features.
sys.path.insert(0, str(Path(__file__).parent))

from keras_simplepose.version import VERSION

project = "keras_simplepose"
author = "the keras_simplepose authors"
copyright = "the keras_simplepose authors, Apache-2.0"  # noqa: A001
version = release = VERSION

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "command_help"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3  # So that links to headings are checked too.
myst_links_external_new_tab = False
suppress_warnings: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False
python_use_unqualified_type_names = True

html_theme = "furo"  # Its fonts are the reader's own.
html_title = "keras_simplepose"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
