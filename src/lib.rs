//! Tandem: a SIP back-to-back user agent that talks with callers and hands them over to people.
//!
//! The modules are declared from the ground up, and that order is the one list of layers: a module
//! may use only what is declared above it (`tests/architecture.rs`). It is also the reading order,
//! though a reader in a hurry starts at [`call`], which is the product.

// ── ground ──
pub mod ids;
pub mod files;
// ── protocol: pure, no async, no clock, no socket ──
pub mod sip;
pub mod media;
// ── the only sockets ──
pub mod net;
// ── listening and speaking ──
pub mod speech;
// ── what we know of a call ──
pub mod context;
// ── the AI ──
pub mod agent;
// ── when and to whom ──
pub mod escalation;
pub mod dialplan;
// ── the call ──
pub mod call;
// ── the outside ──
pub mod desk;
pub mod config;
pub mod telemetry;
pub mod phone;
pub mod app;
