"""Settings of the site: `make docs` builds it with Sphinx into build/site."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import tca

project = "tca"
copyright = "the tca developers"
version = release = tca.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "tools.site"]
exclude_patterns = ["_static", "**/.ipynb_checkpoints"]

html_theme = "furo"
html_title = "Temporal credit assignment"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it fetches pages, which browsers refuse from a file

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "cache"
nb_execution_timeout = 240
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"
copybutton_exclude = ".linenos, .gp, .go"

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
