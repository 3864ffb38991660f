"""The registry of models. `first` always says that the first picture is better."""

from vlmeval.vlm.base import BaseModel


class First(BaseModel):
    def generate_inner(self, message, dataset=None):
        assert [part["type"] for part in message][-1] == "text"
        return "Image 1 is better"


supported_VLM = {"first": First}
