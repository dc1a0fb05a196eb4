//! Who built an image, from what: the commit of the profiles, the run of CI. Kept beside the image in
//! `build.json`, not in its manifest, which is the same for the same image whoever built it.

use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::workdir::write_json;

/// The file's name.
pub const BUILD: &str = "build.json";

/// Who built an image, from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Origin {
    /// SHA-256 of the image that it is about.
    pub image_sha256: String,
    /// Where it was built: `local`, or `ec2`.
    pub on: String,
    /// The commit of the publisher's profiles, where they are in a Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The run of CI, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<CiRun>,
    /// When the build was begun.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub started: OffsetDateTime,
    /// When it was done.
    #[serde(with = "time::serde::rfc3339")]
    #[schemars(with = "String")]
    pub finished: OffsetDateTime,
}

/// A commit of Git.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Commit {
    /// The repository's URL, without user and password, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// The commit.
    pub id: String,
    /// Whether there were changes that were not committed.
    pub dirty: bool,
}

/// A run of CI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CiRun {
    /// Which CI.
    pub system: String,
    /// Where the run is to be seen.
    pub url: String,
}

impl Origin {
    /// Keeps it in a build's folder, whole or not at all.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_json(&folder.join(BUILD), self)
    }

    /// Reads that of a build's folder; nothing if there is none, or it is of another image.
    pub fn read(folder: &Path, image_sha256: &str) -> Option<Origin> {
        let text = std::fs::read(folder.join(BUILD)).ok()?;
        let origin: Origin = serde_json::from_slice(&text).ok()?;
        (origin.image_sha256 == image_sha256).then_some(origin)
    }
}

impl Commit {
    /// The commit that a folder is at; nothing if it is in no repository, or there is no Git.
    pub fn of(folder: &Path) -> Option<Commit> {
        let id = git(folder, &["rev-parse", "HEAD"])?;
        let status = git(
            folder,
            &["status", "--porcelain", "--untracked-files=normal"],
        )?;
        let url = git(folder, &["config", "--get", "remote.origin.url"]);
        Some(Commit {
            repository: url.map(|url| without_user(&url)),
            id,
            dirty: !status.is_empty(),
        })
    }
}

fn git(folder: &Path, args: &[&str]) -> Option<String> {
    let said = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(args)
        .output();
    let said = said.ok().filter(|said| said.status.success())?;
    Some(String::from_utf8(said.stdout).ok()?.trim().to_owned())
}

/// CI's tokens stand in URLs.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}/{path}")
}

impl CiRun {
    /// The run of CI that this process is part of, as its variables say.
    pub fn here() -> Option<CiRun> {
        CiRun::of(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<CiRun> {
        let run = |system: &str, url: String| CiRun {
            system: system.to_owned(),
            url,
        };
        if let (Some(server), Some(repository), Some(id)) = (
            variable("GITHUB_SERVER_URL"),
            variable("GITHUB_REPOSITORY"),
            variable("GITHUB_RUN_ID"),
        ) {
            let attempt = variable("GITHUB_RUN_ATTEMPT").unwrap_or_else(|| "1".to_owned());
            let url = format!("{server}/{repository}/actions/runs/{id}/attempts/{attempt}");
            return Some(run("github-actions", url));
        }
        let others = [
            ("gitlab-ci", "CI_JOB_URL"),
            ("buildkite", "BUILDKITE_BUILD_URL"),
            ("jenkins", "BUILD_URL"),
        ];
        let mut others = others.into_iter();
        others.find_map(|(system, name)| Some(run(system, variable(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_ci_are_known_by_their_variables() {
        let of = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> = set
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            CiRun::of(move |name| {
                let found = set.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone())
            })
        };
        assert_eq!(of(&[]), None);
        let github = of(&[
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_REPOSITORY", "o/r"),
            ("GITHUB_RUN_ID", "7"),
        ]);
        let url = "https://github.example/o/r/actions/runs/7/attempts/1";
        assert_eq!(github.expect("a run").url, url);
        let gitlab = of(&[("CI_JOB_URL", "https://gitlab.example/1")]).expect("a run");
        assert_eq!(gitlab.system, "gitlab-ci");
    }

    #[test]
    fn no_secret_of_a_url_is_kept() {
        for (url, expected) in [
            (
                "https://token:x@host.example/a/b.git",
                "https://host.example/a/b.git",
            ),
            ("https://host.example/a@b", "https://host.example/a@b"),
            ("git@host.example:a/b.git", "git@host.example:a/b.git"),
        ] {
            assert_eq!(without_user(url), expected);
        }
    }

    #[test]
    fn a_commit_is_found_and_dirt_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Commit::of(folder.path()), None);
        let run = |args: &[&str]| {
            let as_someone = ["-c", "user.name=a", "-c", "user.email=a@b.example"];
            let said = git(folder.path(), &[&as_someone, args].concat());
            said.unwrap_or_else(|| panic!("git {args:?}"))
        };
        run(&["init", "-q"]);
        std::fs::write(folder.path().join("a"), "1").expect("a file");
        run(&["add", "a"]);
        run(&["commit", "-q", "-m", "one"]);
        let commit = Commit::of(folder.path()).expect("a commit");
        assert_eq!((commit.id.len(), commit.dirty), (40, false));
        assert_eq!(commit.repository, None);
        std::fs::write(folder.path().join("b"), "2").expect("a file");
        assert!(Commit::of(folder.path()).expect("a commit").dirty);
    }

    #[test]
    fn what_is_of_another_image_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = OffsetDateTime::UNIX_EPOCH;
        let origin = Origin {
            image_sha256: "ab".to_owned(),
            on: "local".to_owned(),
            commit: None,
            ci: None,
            started: now,
            finished: now,
        };
        assert_eq!(Origin::read(folder.path(), "ab"), None);
        origin.write(folder.path()).expect("it is written");
        assert_eq!(Origin::read(folder.path(), "ab"), Some(origin));
        assert_eq!(Origin::read(folder.path(), "cd"), None);
    }
}
