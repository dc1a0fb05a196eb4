//! A kernel's modules: which are built in, which are files, and what each needs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use flate2::read::GzDecoder;

use super::error::{ImageError, Result};
use super::rootdir::RootDir;

/// The modules of one kernel, from `modules.builtin` and `modules.dep` (kmod's formats, made
/// by the kernel's build and by depmod).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modules {
    release: String,
    builtin: BTreeSet<String>,
    /// By name: path below the folder of modules, and what must be loaded before, in order.
    files: BTreeMap<String, ModuleFile>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ModuleFile {
    path: String,
    before: Vec<String>,
}

/// Where a module is to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    /// Part of the kernel itself.
    Builtin,
    /// A file, to be loaded.
    Loadable,
    /// Neither.
    Absent,
}

impl Modules {
    /// Reads the index of kernel `release` in `root`.
    ///
    /// # Errors
    /// [`ImageError::NoModuleIndex`] where the kernel has no `modules.builtin`. A kernel
    /// without `modules.dep` has no loadable modules that could be used.
    pub fn read(root: &RootDir, release: &str) -> Result<Modules> {
        let path = format!("lib/modules/{release}/modules.builtin");
        let builtin = root
            .read_text(&path)?
            .ok_or_else(|| ImageError::NoModuleIndex {
                path,
                release: release.to_owned(),
            })?;
        let dep = root.read_text(&format!("lib/modules/{release}/modules.dep"))?;
        Ok(Modules::parse(release, &builtin, &dep.unwrap_or_default()))
    }

    fn parse(release: &str, builtin: &str, dep: &str) -> Modules {
        let builtin = builtin
            .lines()
            .map(|path| module_name(path.trim()))
            .collect();
        let mut files = BTreeMap::new();
        for line in dep.lines() {
            let Some((path, needs)) = line.split_once(':') else {
                continue;
            };
            // depmod lists everything needed, the nearest first; loading goes the other way.
            let before = needs.split_whitespace().rev().map(str::to_owned).collect();
            let path = path.trim().to_owned();
            files.insert(module_name(&path), ModuleFile { path, before });
        }
        Modules {
            release: release.to_owned(),
            builtin,
            files,
        }
    }

    /// The kernel's release.
    pub fn release(&self) -> &str {
        &self.release
    }

    /// Where `module` is to be had; `-` and `_` are the same in its name.
    pub fn availability(&self, module: &str) -> Availability {
        let name = normalized(module);
        if self.builtin.contains(&name) {
            Availability::Builtin
        } else if self.files.contains_key(&name) {
            Availability::Loadable
        } else {
            Availability::Absent
        }
    }

    /// The files to load for `modules`, each after what it needs, none twice; paths below
    /// `lib/modules/<release>`. Modules that are built in or absent add nothing.
    pub fn load_order<'a>(&self, modules: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let mut order: Vec<String> = Vec::new();
        for module in modules {
            let Some(file) = self.files.get(&normalized(module)) else {
                continue;
            };
            for path in file.before.iter().chain([&file.path]) {
                if !order.contains(path) {
                    order.push(path.clone());
                }
            }
        }
        order
    }

    /// The bytes of a module file from [`Modules::load_order`], unpacked.
    ///
    /// # Errors
    /// [`ImageError::ModuleCompression`] for anything but plain files and gzip, which is what
    /// Alpine's kernels use; busybox could not load the others either.
    pub fn read_file(&self, root: &RootDir, path: &str) -> Result<Vec<u8>> {
        let path = format!("lib/modules/{}/{path}", self.release);
        let packed = root.read(&path)?.ok_or_else(|| ImageError::InitramfsFile {
            path: path.clone(),
            needed_by: "modules.dep names it".to_owned(),
        })?;
        if path.ends_with(".ko") {
            return Ok(packed);
        }
        if !path.ends_with(".ko.gz") {
            return Err(ImageError::ModuleCompression { path });
        }
        let mut bytes = Vec::new();
        GzDecoder::new(packed.as_slice())
            .read_to_end(&mut bytes)
            .map_err(ImageError::io("unpacking", root.path().join(&path)))?;
        Ok(bytes)
    }
}

/// `kernel/drivers/nvme/host/nvme-core.ko.gz` is `nvme_core`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normalized(file.split(".ko").next().unwrap_or(file))
}

fn normalized(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILTIN: &str = "kernel/fs/ext4/ext4.ko\nkernel/crypto/crc32c_generic.ko\n";
    const DEP: &str = "\
kernel/drivers/nvme/host/nvme-core.ko.gz: kernel/lib/t10.ko.gz
kernel/drivers/nvme/host/nvme.ko.gz: kernel/drivers/nvme/host/nvme-core.ko.gz kernel/lib/t10.ko.gz
kernel/lib/t10.ko.gz:
";

    #[test]
    fn modules_are_found_under_either_spelling() {
        let modules = Modules::parse("6.1", BUILTIN, DEP);
        assert_eq!(modules.availability("ext4"), Availability::Builtin);
        assert_eq!(
            modules.availability("crc32c-generic"),
            Availability::Builtin
        );
        assert_eq!(modules.availability("nvme_core"), Availability::Loadable);
        assert_eq!(modules.availability("xfs"), Availability::Absent);
    }

    #[test]
    fn what_is_needed_is_loaded_first_and_once() {
        let modules = Modules::parse("6.1", BUILTIN, DEP);
        assert_eq!(
            modules.load_order(["nvme", "nvme-core", "ext4"]),
            [
                "kernel/lib/t10.ko.gz",
                "kernel/drivers/nvme/host/nvme-core.ko.gz",
                "kernel/drivers/nvme/host/nvme.ko.gz",
            ]
        );
    }

    #[test]
    fn gzip_is_unpacked_and_others_are_refused() {
        use std::io::Write;
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("lib/modules/6.1");
        std::fs::create_dir_all(&folder).unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"\x7fELF").unwrap();
        std::fs::write(folder.join("a.ko.gz"), packed.finish().unwrap()).unwrap();
        std::fs::write(folder.join("b.ko.zst"), "x").unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let modules = Modules::parse("6.1", "", "");
        assert_eq!(modules.read_file(&root, "a.ko.gz").unwrap(), b"\x7fELF");
        let error = modules.read_file(&root, "b.ko.zst").unwrap_err();
        assert!(
            matches!(error, ImageError::ModuleCompression { .. }),
            "{error}"
        );
        assert!(modules.read_file(&root, "c.ko").is_err());
    }
}
