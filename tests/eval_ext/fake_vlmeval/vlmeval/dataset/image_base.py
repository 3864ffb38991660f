"""The class that datasets of pictures derive from."""

import ast
from pathlib import Path

from vlmeval.smp import LMUDataRoot


class ImageBaseDataset:
    def __init__(self, dataset):
        self.dataset_name = dataset
        self.img_root = Path(LMUDataRoot()) / "images" / dataset
        data = self.load_data(dataset)
        paths = [ast.literal_eval(paths) for paths in data["image_path"]]
        data["image_path"] = [one[0] if len(one) == 1 else one for one in paths]
        data["index"] = [int(index) for index in data["index"]]
        self.data = data

    @classmethod
    def supported_datasets(cls):
        return list(cls.DATASET_URL)

    def dump_image(self, line):
        paths = line["image_path"] if isinstance(line["image_path"], list) else [line["image_path"]]
        return [str(self.img_root / path) for path in paths]
