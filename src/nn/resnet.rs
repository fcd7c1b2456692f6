//! ResNet backbones.
