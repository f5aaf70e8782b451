"""The changes of the tables are one line of revisions."""

from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory

from dpip.controller.datastore import migrations


def test_each_revision_has_one_before_it_and_the_newest_is_named() -> None:
    """Two with one number, or two behind the same one, would leave a table out."""
    directory = Path(migrations.__file__).parent
    config = Config()
    config.set_main_option("script_location", str(directory))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [migrations.HEAD]
    files = [path.name[:4] for path in (directory / "versions").glob("[0-9]*.py")]
    assert sorted(files) == sorted(revision.revision for revision in script.walk_revisions())
