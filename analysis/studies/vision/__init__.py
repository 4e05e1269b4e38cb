"""Do rules that broadcast an error learn images, in the networks that each belongs to?

``python -m analysis.studies.vision`` runs the study, ``python -m analysis.studies.vision.search`` the choice of open
values on held-out images.
"""
