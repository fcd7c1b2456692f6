//! The public face: the commands, run in fresh folders, judged by what they
//! print, write and return.

mod auditing;
mod baselines;
mod broken;
mod commands;
mod comparing;
mod export;
mod import;
mod inspected;
mod scoring;
mod tools;
