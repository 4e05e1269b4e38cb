"""The study "Beyond accuracy": do rules that find sharper places generalize worse, at matched training loss?

Paper: Liu, Ghosh, Richards, Shea-Brown and Lajoie (2022), Beyond accuracy: generalization properties of bio-plausible
temporal credit assignment rules, arXiv:2206.00823.
"""
