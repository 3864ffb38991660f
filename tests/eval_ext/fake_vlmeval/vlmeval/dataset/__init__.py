"""The registry of datasets."""

DATASET_CLASSES = []
SUPPORTED_DATASETS = []


def build_dataset(name):
    return next((kind(dataset=name) for kind in DATASET_CLASSES if name in kind.supported_datasets()), None)
