//! What benchmarks share.

#![allow(dead_code, reason = "each of them uses its part")]

pub mod report;
