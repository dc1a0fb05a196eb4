//! Which files a program needs to start: its loader and shared libraries.

use std::collections::{BTreeSet, VecDeque};

use object::elf::DT_NEEDED;
use object::read::elf::{ElfFile64, ProgramHeader};

use super::error::{ImageError, Result};
use super::rootdir::RootDir;

/// Where musl's loader looks without further configuration, then glibc's on Debian, whose
/// packages the demo mirror carries.
const LIBRARY_FOLDERS: [&str; 7] = [
    "lib",
    "usr/lib",
    "usr/local/lib",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
];

/// What one ELF file asks for.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Needs {
    /// The loader's path; none in libraries and static programs.
    interpreter: Option<String>,
    /// Names of libraries.
    libraries: Vec<String>,
}

/// `program` and everything it needs to start: paths inside `root` with their content, the
/// program first, each once.
///
/// # Errors
/// [`ImageError::InitramfsFile`] for what is missing, [`ImageError::Elf`] for what is no
/// 64-bit ELF file.
pub fn closure(root: &RootDir, program: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut queue = VecDeque::from([(program.to_owned(), "it runs /init".to_owned())]);
    let mut seen = BTreeSet::from([program.to_owned()]);
    let mut found = Vec::new();
    while let Some((path, needed_by)) = queue.pop_front() {
        let content = root.read(&path)?.ok_or_else(|| ImageError::InitramfsFile {
            path: path.clone(),
            needed_by,
        })?;
        let needs = needs(&path, &content)?;
        let reason = format!("`{path}` needs it");
        if let Some(interpreter) = needs.interpreter {
            let interpreter = interpreter.trim_start_matches('/').to_owned();
            if seen.insert(interpreter.clone()) {
                queue.push_back((interpreter, reason.clone()));
            }
        }
        for library in needs.libraries {
            let library = locate(root, &library, &reason)?;
            if seen.insert(library.clone()) {
                queue.push_back((library, reason.clone()));
            }
        }
        found.push((path, content));
    }
    Ok(found)
}

fn locate(root: &RootDir, library: &str, needed_by: &str) -> Result<String> {
    for folder in LIBRARY_FOLDERS {
        let path = format!("{folder}/{library}");
        if root.file(&path)?.is_some() {
            return Ok(path);
        }
    }
    Err(ImageError::InitramfsFile {
        path: library.to_owned(),
        needed_by: needed_by.to_owned(),
    })
}

fn needs(path: &str, bytes: &[u8]) -> Result<Needs> {
    let unusable = |error: object::read::Error| ImageError::Elf {
        path: path.to_owned(),
        why: error.to_string(),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let file = ElfFile64::<object::Endianness>::parse(bytes).map_err(unusable)?;
    let mut needs = Needs::default();
    for header in file.elf_program_headers() {
        if let Some(name) = header.interpreter(file.endian(), bytes).map_err(unusable)? {
            needs.interpreter = Some(text(name));
        }
    }
    let dynamic = file.elf_dynamic_table().map_err(unusable)?;
    for entry in dynamic.iter().filter(|entry| entry.tag == DT_NEEDED) {
        needs
            .libraries
            .push(text(dynamic.string(entry).map_err(unusable)?));
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_needs_a_loader_and_a_c_library() {
        let me = std::fs::read("/proc/self/exe").unwrap();
        let needs = needs("me", &me).unwrap();
        if cfg!(target_env = "gnu") && !cfg!(target_feature = "crt-static") {
            assert!(needs.interpreter.unwrap().contains("ld-linux"));
            assert!(
                needs
                    .libraries
                    .iter()
                    .any(|name| name.starts_with("libc.so"))
            );
        }
    }

    #[test]
    fn what_is_missing_and_what_is_no_program_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("script"), "#!/bin/sh\n").unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        let error = closure(&root, "bin/busybox").unwrap_err();
        assert!(error.to_string().contains("bin/busybox"), "{error}");
        let error = closure(&root, "script").unwrap_err();
        assert!(matches!(error, ImageError::Elf { .. }), "{error}");
    }

    #[test]
    fn libraries_are_found_where_the_loader_would() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("usr/lib")).unwrap();
        std::fs::write(dir.path().join("usr/lib/libz.so.1"), "").unwrap();
        let root = RootDir::open(dir.path()).unwrap();
        assert_eq!(locate(&root, "libz.so.1", "").unwrap(), "usr/lib/libz.so.1");
        let error = locate(&root, "libabsent.so", "`a` needs it").unwrap_err();
        assert!(error.to_string().contains("`a` needs it"), "{error}");
    }
}
