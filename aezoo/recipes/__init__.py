"""The shelf: trained models, each made by a recipe of this package, in `saved_models/`."""
