"""The site: `make docs` builds it. Pages with a kernelspec in their front matter run while it is built."""

import atexit
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

import clipx

DOCS = Path(__file__).parent.resolve()

project = "clipx"
author = "the clipx developers"
copyright = f"2026, {author}"
version = release = clipx.__version__
html_title = f"clipx {release}"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_static"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["output.css"]
html_theme_options = {
    "source_repository": "https://github.com/clipx/clipx/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_exclude = ".linenos, .gp, .go"

# Headings get GitHub's anchors, so that `page.md#heading` works in both places.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

# Single backticks are code in docstrings; those around a name of clipx lead to it.
default_role = "code"
NAME = re.compile(r"(?<!`)`(clipx(?:\.\w+)+)`(?!`)")
PAGE = re.compile(r"\bdocs/(\w+)\.md\b")
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
# Arguments and attributes that share an explanation stay together.
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]
toc_object_entries_show_parents = "hide"

# Every page runs in a process and a temporary folder of its own, with media.py on its path and this Python's commands.
nb_execution_mode = "force"
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_execution_show_tb = True  # of a cell that fails, which is a warning, and so an error
nb_merge_streams = True
nb_render_markdown_format = "gfm"
os.environ["PYTHONPATH"] = os.pathsep.join([str(DOCS), *filter(None, [os.environ.get("PYTHONPATH")])])
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["COLUMNS"] = "100"
# The kernels' own folder, so that nobody's settings count, and commands.py is run.
ipython = Path(tempfile.mkdtemp(prefix="clipx-docs-"))
atexit.register(shutil.rmtree, ipython, ignore_errors=True)
(ipython / "profile_default" / "startup").mkdir(parents=True)
shutil.copy(DOCS / "commands.py", ipython / "profile_default" / "startup")
os.environ["IPYTHONDIR"] = str(ipython)
# A debugger's warning about frozen modules is not for readers.
os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"

# Pages of the site whose text is a file elsewhere in the repository.
TEXTS = {"benchmarks": "bench/README.md", "changelog": "CHANGELOG.md", "contributing": "CONTRIBUTING.md"}
REPOSITORY = "https://github.com/clipx/clipx/blob/main/"
LINK = re.compile(r"(?<=\]\()([^)#\s:]+)(?=[)#])")


def rewrite_links(app, docname, source):
    """Has the relative links of a page, which are those that GitHub shows, lead to pages of the site or to GitHub."""
    text, folder = source[0], (DOCS / docname).parent
    if docname in TEXTS:
        path = DOCS.parent / TEXTS[docname]
        app.env.note_dependency(str(path))
        text, folder = path.read_text(), path.parent

    def rewritten(match):
        target = Path(os.path.normpath(folder / match.group(1)))
        inside = target.relative_to(DOCS.parent).as_posix()
        for page, of in TEXTS.items():
            if inside == of:
                target = DOCS / f"{page}.md"
        if not target.is_relative_to(DOCS) and target.suffix not in {".png", ".svg"}:
            return REPOSITORY + inside
        return Path(os.path.relpath(target, (DOCS / docname).parent)).as_posix()

    source[0] = LINK.sub(rewritten, text)


def link_names(app, what, name, obj, options, lines):
    """Makes links of the names of clipx and of its pages in a docstring."""
    lines[:] = [PAGE.sub(r":doc:`/\1`", NAME.sub(r":py:obj:`\1`", line)) for line in lines]


def setup(app):
    app.connect("autodoc-process-docstring", link_names)
    app.connect("source-read", rewrite_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
