"""A rubric is a question, and the way its answer is read."""

from unireward_plugins.parsing import final_score
from unireward_plugins.rubrics import Rubric

BRIGHTNESS = Rubric(
    "brightness.image_gen.point",
    task="image_generation",
    arity=1,
    template="Caption: {prompt}\nHow bright is the picture? Answer 'Final Score: ' and a number from 1 to 5.",
    read=final_score(1, 5),
    family="brightness",
)
