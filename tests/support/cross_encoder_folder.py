"""Writes a tiny cross-encoder with random weights as a folder: a tokenizer of characters and a BERT of one layer."""

from pathlib import Path
from typing import Any


def write_cross_encoder(folder: Path, *, labels: int = 1, head: bool = True) -> Path:
    """`head`: with its classifier; without, it is a mere encoder. Returns the folder."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    characters = [*map(chr, range(0x21, 0x7F)), *map(chr, range(0x4E00, 0x5100)), *"，。？年假天病几有"]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys([*special, *characters]))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    make: Any = PreTrainedTokenizerFast  # untyped where it is installed
    made = make(tokenizer_object=tokenizer, model_max_length=128, **names)
    made.save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.5,
    )
    config.num_labels = labels
    model = BertForSequenceClassification(config) if head else BertModel(config)
    model.save_pretrained(folder)
    return folder
