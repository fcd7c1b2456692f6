//! The public face: the commands, run in fresh folders, judged by what they
//! print, write and return.

mod broken;
mod commands;
mod import;
mod inspected;
mod scoring;
mod tools;
