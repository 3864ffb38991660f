"""Pictures and clips: whatever they come as, decoded when needed, equal when they show the same."""

from unireward_plugins.media.frames import FrameRule
from unireward_plugins.media.media import Media

__all__ = ["FrameRule", "Media"]
