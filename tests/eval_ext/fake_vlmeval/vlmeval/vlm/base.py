"""The class that models derive from."""


class BaseModel:
    def __init__(self):
        self.dump_image_func = None

    def use_custom_prompt(self, dataset):
        return False

    def set_dump_image(self, function):
        self.dump_image_func = function

    def dump_image(self, line, dataset):
        return self.dump_image_func(line)

    def generate(self, message, dataset=None):
        return self.generate_inner(message, dataset)
