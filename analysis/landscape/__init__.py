"""Loss landscapes: lines, planes, barriers and alignment by permutation."""
