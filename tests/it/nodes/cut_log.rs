//! Logs that supervise-daemon appends to without end are cut, and go on.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output};

fn cut(file: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("overlays/kubezero/root/usr/libexec/alpine-ami/cut-log");
    let mut command = Command::new("sh");
    command.arg(script).arg(file).output().expect("sh")
}

#[test]
fn the_end_is_kept_and_the_writer_goes_on() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("kubelet.log");
    let mut writer = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(&path)
        .expect("a log");
    writer.write_all(&vec![b'.'; 12 << 20]).expect("written");
    writer.write_all(b"the last words\n").expect("written");
    assert!(cut(&path).status.success());
    let kept = fs::read(dir.path().join("kubelet.log.0")).expect("a log");
    assert_eq!(kept.len(), 10 << 20);
    assert!(kept.ends_with(b"the last words\n"));
    // The same file, not another of the same name.
    writer.write_all(b"more\n").expect("written");
    assert_eq!(fs::read(&path).expect("a log"), b"more\n");
    // A second cut takes the place of the first: two files at most.
    assert!(cut(&path).status.success());
    let kept = fs::read(dir.path().join("kubelet.log.0")).expect("a log");
    assert_eq!(kept, b"more\n");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 2);
}

#[test]
fn nothing_but_a_plain_file_is_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    fs::write(&target, "precious").expect("a file");
    std::os::unix::fs::symlink(&target, &link).expect("a link");
    for wrong in [&link, &dir.path().to_owned(), &dir.path().join("none")] {
        assert_eq!(cut(wrong).status.code(), Some(2), "{}", wrong.display());
    }
    assert_eq!(fs::read(&target).expect("a file"), b"precious");
}
