use std::os::unix::fs::symlink;

use super::*;

const ACME: &str = "[customers.acme]\naccounts = [\"111122223333\"]\nchannels = [\"stable\"]\n";

/// Changes the file into that text.
fn into(path: &Path, text: &str) -> Result<(), EditError> {
    changed(path, |_, _| Ok(text.to_owned()))
}

fn changed(
    path: &Path,
    edit: impl FnOnce(&str, &str) -> Result<String, EditError>,
) -> Result<(), EditError> {
    let known = Known {
        channels: &["stable".to_owned()],
        regions: &["eu-central-1".parse().expect("a Region")].into(),
    };
    change(path, &known, edit)
}

fn mode(path: &Path) -> u32 {
    let seen = fs::symlink_metadata(path).expect("it is there");
    seen.permissions().mode() & 0o7777
}

/// The names in a folder: nothing half-written is left.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn it_is_made_and_keeps_its_mode() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("customers.toml");
    into(&path, ACME).expect("made");
    assert_eq!(fs::read_to_string(&path).expect("read"), ACME);
    assert_eq!(mode(&path), 0o644);
    fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("set");
    let add = |file: &str, old: &str| {
        assert_eq!((file, old), (&*path.display().to_string(), ACME));
        Ok(format!("{old}# more\n"))
    };
    changed(&path, add).expect("changed");
    assert_eq!(mode(&path), 0o640);
    assert!(
        fs::read_to_string(&path)
            .expect("read")
            .ends_with("# more\n")
    );
    assert_eq!(names(folder.path()), ["customers.toml"]);
}

#[test]
fn links_are_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).expect("a folder");
    symlink("real/file.toml", at("second")).expect("a link");
    symlink(at("second"), at("first")).expect("a link");
    // The last one leads to nothing at first.
    for text in [ACME, "# nobody\n"] {
        into(&at("first"), text).expect("changed");
        assert_eq!(
            fs::read_to_string(at("real/file.toml")).expect("read"),
            text
        );
        let is_link = |name: &str| at(name).is_symlink();
        assert!(is_link("first") && is_link("second") && !is_link("real/file.toml"));
    }
    symlink("round", at("round")).expect("a link");
    let error = into(&at("round"), ACME).expect_err("it leads nowhere");
    assert!(error.to_string().contains("symbolic links"), "{error}");
}

#[test]
fn whatever_goes_wrong_it_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("customers.toml");
    let wrong = ACME.replace("stable", "stabel");
    for (old, new, words) in [
        (ACME, wrong.as_str(), "nothing was changed, since"),
        (wrong.as_str(), ACME, "has mistakes, and was not changed"),
        ("customers = [\n", ACME, "has mistakes, and was not changed"),
        (ACME, "customers = [\n", "nothing was changed, since"),
    ] {
        fs::write(&path, old).expect("written");
        let error = into(&path, new).expect_err(words);
        let said = error.to_string();
        let place = format!("{}:", path.display());
        assert!(said.contains(words) && said.contains(&place), "{said}");
        assert!(error.is_bad_input() && error.advice().is_some());
        assert_eq!(fs::read_to_string(&path).expect("read"), old);
    }
    fs::write(&path, b"# \xff\n").expect("written");
    let error = into(&path, ACME).expect_err("no text");
    assert!(error.to_string().contains("not UTF-8"), "{error}");
    assert_eq!(fs::read(&path).expect("read"), b"# \xff\n");
    assert_eq!(names(folder.path()), ["customers.toml"]);

    for path in [
        folder.path().join("nowhere/customers.toml"),
        folder.path().to_owned(),
    ] {
        let error = into(&path, ACME).expect_err("no place for it");
        assert!(!error.is_bad_input(), "{error}");
        assert!(
            error.to_string().contains(path.to_str().expect("a path")),
            "{error}"
        );
    }
}

#[test]
fn what_many_do_at_once_is_all_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("customers.toml");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let path = &path;
            scope.spawn(move || {
                let add = |_: &str, old: &str| Ok(format!("{old}# {number}\n"));
                changed(path, add).expect("changed");
            });
        }
    });
    let text = fs::read_to_string(&path).expect("read");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let expected: Vec<String> = (0..8).map(|number| format!("# {number}")).collect();
    assert_eq!(lines, expected);
}
