"""Do rules that broadcast an error learn images, in the networks that each belongs to?

``python -m studies.vision`` runs the study, ``python -m studies.vision.search`` the choice of open
values on held-out images.
"""
