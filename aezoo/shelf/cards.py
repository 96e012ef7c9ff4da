"""The model card."""


def readme(card):
    return "TODO"
