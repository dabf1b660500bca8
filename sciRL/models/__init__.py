"""Language models, tokenizers and small networks."""
