"""The state of a run on disk: saved after a round, found again after a crash."""

from fedlab.checkpoints.archive import SavedRun
from fedlab.checkpoints.folder import FOLDER_NAME, Checkpoints
from fedlab.checkpoints.leaves import map_leaves
from fedlab.checkpoints.lock import FolderInUseError

__all__ = ["FOLDER_NAME", "Checkpoints", "FolderInUseError", "SavedRun", "map_leaves"]
