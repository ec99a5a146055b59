"""What can be set, and the only reader of YAML and of the environment.

A setting comes from the command line, else from SUBGEN_*, else from the settings file, else from its
default. All of it is checked here, once, and what is wrong is said in one line.

To add a setting: a field in `fields.Settings` whose type says what is `Allowed`, the same default in
config/subgen.yaml, and a line in README.md. tests/docs compares the three.
"""

from subgen.settings.fields import Settings, speeds_file, state_folder
from subgen.settings.sources import default_config_file, load_settings

__all__ = [
    "Settings",
    "default_config_file",
    "load_settings",
    "speeds_file",
    "state_folder",
]
