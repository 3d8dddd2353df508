//! Links the voice library, if the voice is wanted.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_FLITE").is_some() {
        for library in
            ["flite_cmu_us_slt", "flite_cmu_us_rms", "flite_usenglish", "flite_cmulex", "flite"]
        {
            println!("cargo:rustc-link-lib={library}");
        }
    }
}
