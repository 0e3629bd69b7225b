"""What the shells themselves offer after `apus` and a tab."""

import os
import pathlib
import pty
import select
import signal
import subprocess

import pytest

APUS = os.environ["APUS"]


def script(shell):
    return subprocess.run([APUS, "completion", shell], capture_output=True, text=True, check=True).stdout


def bash(line, folder):
    words = line.split(" ")
    program = f"""
        {script("bash")}
        COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        _apus 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return run(["bash", "--norc", "-c", program], folder)


def fish(line, folder):
    (folder / "apus.fish").write_text(script("fish"))
    listed = run(["fish", "--no-config", "-c", f"source apus.fish; complete --do-complete '{line}'"], folder)
    return {entry.split("\t")[0] for entry in listed}


def zsh(line, folder):
    """zsh completes only where it edits a line, so it gets a terminal, and a completion that prints what it would add."""
    (folder / "completion.zsh").write_text(script("zsh"))
    (folder / "setup.zsh").write_text(
        """
        PS1=; unsetopt zle_bracketed_paste
        autoload -Uz compinit; compinit -u -D
        source ./completion.zsh
        compadd() { local -a found; builtin compadd -O found "$@"; print -rl -- "<"${^found}">" }
        zle -C tell complete-word _main_complete
        tell-and-end() { zle tell; print DONE }
        zle -N tell-and-end; bindkey '^I' tell-and-end
        """
    )
    shell, terminal = pty.fork()
    if shell == 0:
        os.chdir(folder)
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment(folder))
    try:
        read_until(terminal, b"source ./setup.zsh; print REA''DY\n", b"READY")
        text = read_until(terminal, line.encode() + b"\t", b"DONE").decode()
    finally:
        os.close(terminal)
        os.kill(shell, signal.SIGKILL)
        os.waitpid(shell, 0)
    return {part.split(">")[0] for part in text.split("<")[1:]}


def read_until(terminal, typed, mark):
    """Types, and returns everything that is printed up to the mark."""
    os.write(terminal, typed)
    text = b""
    while mark not in text:
        assert select.select([terminal], [], [], 60)[0], text
        text += os.read(terminal, 4096)
    return text


def environment(folder):
    path = f"{pathlib.Path(APUS).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "TERM": "dumb", "HOME": str(folder)}


def run(command, folder):
    result = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment(folder), timeout=90
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split("\n")) - {""}


@pytest.mark.parametrize("complete", [bash, fish, zsh])
@pytest.mark.parametrize(
    "line, offered",
    [
        ("apus top", {"topic"}),
        ("apus topic c", {"create"}),
        ("apus topic create --writ", {"--write-queues"}),
        ("apus status --output ", {"table", "json", "csv"}),
    ],
)
def test_a_shell_offers_what_comes_next(complete, line, offered, tmp_path):
    found = complete(line, tmp_path)
    typed = line.rsplit(" ", 1)[1]
    assert {entry for entry in found if entry.startswith(typed)} >= offered, found


@pytest.mark.parametrize("complete", [bash, fish, zsh])
def test_no_shell_offers_the_commands_of_another_group(complete, tmp_path):
    assert "resend" in complete("apus dlq ", tmp_path)
    assert "resend" not in complete("apus topic ", tmp_path)
