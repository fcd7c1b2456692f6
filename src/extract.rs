//! stub
/// ImageNet's mean of each channel, pictures in `0..=1`.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// ImageNet's deviation of each channel.
pub const IMAGENET_DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
