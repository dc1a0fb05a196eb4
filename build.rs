//! Rebuilds the program when a profile or overlay changes: they are built into it.

fn main() {
    println!("cargo::rerun-if-changed=profiles");
    println!("cargo::rerun-if-changed=overlays");
}
