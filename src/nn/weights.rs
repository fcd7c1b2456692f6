//! Reading of pretrained weights.
