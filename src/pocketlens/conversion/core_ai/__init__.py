"""Conversion of PyTorch networks to Core AI models (`.aimodel`), by Apple's `coreai-torch`.

program     the network as it goes into the file: from pixels to probabilities, in one precision
lowerings   ops that the converter lacks, in terms of others
writing     the converter, and the folder: equal weights give equal bytes
"""

from pocketlens.conversion.core_ai.writing import write_core_ai

__all__ = ["write_core_ai"]
