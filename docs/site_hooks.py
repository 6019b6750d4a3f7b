"""Hooks of the documentation site: pages that are not written in docs/, and links that work on both sides.

The pages in docs/ link each other, and the files beside docs/, by paths that work where the repository is browsed. On
the site the repository's other files are copied (README.md becomes the home page), and each link is turned to where its
file is.
"""

from __future__ import annotations

import html
import inspect
import posixpath
import re
from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from robustkit.cli import COMMANDS, group

ROOT = Path(__file__).resolve().parents[1]

# Where a file beside docs/ is found on the site; other files that a page links are copied under files/.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "examples/06_ci_gate/README.md": "howto/gate-a-ci.md",
}
GENERATED = ("reference/python/", "reference/commands.md")
LINK = re.compile(r"(\]\()(?!https?:|mailto:|#)([^)\s#]+)((?:#[^)\s]*)?\))")
HERE = {site: repository for repository, site in PAGES.items() if not (ROOT / "docs" / site).exists()}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the reference of the package to the navigation, and the reproduction where it has been run."""
    sections = {name: content for entry in config.nav for name, content in entry.items()}
    sections["Reference"].append({"Python": [{title: path} for title, path, _ in _reference()]})
    pages = sorted(
        path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir, "reproduction").glob("**/*.md")
    )
    if pages:
        sections["Project"].insert(0, {"Reproduction": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and files that do not lie in docs/."""
    for site, repository in HERE.items():
        files.append(File.generated(config, site, content=(ROOT / repository).read_text()))
    files.append(File.generated(config, "reference/commands.md", content=_commands()))
    for _, path, content in _reference():
        files.append(File.generated(config, path, content=content))
    for path in sorted(_linked(files)):
        files.append(File.generated(config, f"files/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links between pages of the site."""
    site = page.file.src_uri
    if site.startswith(GENERATED):
        return markdown

    def turned(match: re.Match[str]) -> str:
        target = posixpath.relpath(_on_site(_in_repository(site, match[2])), posixpath.dirname(site) or ".")
        return f"{match[1]}{target}{match[3]}"

    return LINK.sub(turned, markdown)


def _in_repository(site: str, link: str) -> str:
    """The file of the repository that a link of a page means."""
    source = HERE.get(site, f"docs/{site}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _on_site(path: str) -> str:
    """Where a file of the repository is found on the site."""
    if path in PAGES:
        return PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"


def _linked(files: Files) -> set[str]:
    """The files beside docs/ that some page links and that are no pages of the site."""
    linked = set()
    for file in files.documentation_pages():
        if not file.src_uri.startswith(GENERATED):
            for match in LINK.finditer(file.content_string):
                path = _in_repository(file.src_uri, match[2])
                if path not in PAGES and not path.startswith("docs/") and (ROOT / path).is_file():
                    linked.add(path)
    return linked


def _commands() -> str:
    """The reference of the command line, from the same options that `--help` prints."""
    parts = [f"# Commands\n\n{group.help}\n\nEach command says the same with `--help`."]
    context = click.Context(group, info_name="robustkit")
    for name in COMMANDS:
        command = group.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context)
        usage = f"robustkit {name} {' '.join(command.collect_usage_pieces(inner))}"
        options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
        rows = [_row(option, inner) for option in options]
        help_text = inspect.cleandoc(command.help or "")
        parts.append(f"## robustkit {name}\n\n```text\n{usage}\n```\n\n{help_text}")
        if rows:
            parts.append("\n".join(["| option | what it says |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    names, help_text = option.get_help_record(context) or ("", "")
    if option.required:
        help_text = help_text.replace("[required]", "**Required.**")
    return f"| `{names}` | {html.escape(help_text, quote=False)} |".replace("[default:", "\\[default:")


def _reference() -> list[tuple[str, str, str]]:
    """A page of the reference for each folder of the package: its title, path and content."""
    package = ROOT / "robustkit"
    pages = []
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        name = ".".join(folder.relative_to(ROOT).parts)
        if name == "robustkit.cli":  # these are commands; their reference is made of their options
            continue
        modules = [path.stem for path in sorted(folder.glob("*.py")) if not path.stem.startswith("_")]
        content = [f"# {name}", f"::: {name}\n    options:\n      members: false\n      show_root_heading: false\n"]
        content += [f"::: {name}.{module}" for module in modules]
        pages.append((name, f"reference/python/{name}.md", "\n\n".join(content) + "\n"))
    return pages
