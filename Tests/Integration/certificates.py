"""Certificates for one test, made at run time by the openssl command and never kept."""

import pathlib
import subprocess

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def openssl(*words):
    result = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, f"openssl {words[0]}: {result.stderr}"


class Certificates:
    """A root, and what it signs."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.root = self.folder / "root.pem"
        openssl("req", "-x509", *KEY, "-days", 2, "-subj", "/CN=root", "-keyout", self.folder / "root.key", "-out", self.root)

    def make(self, name, names="DNS:localhost,IP:127.0.0.1", days=2):
        """Returns the paths of a certificate and its key; with days below 0 it has expired."""
        base = self.folder / name
        certificate, key, request, extensions = (pathlib.Path(f"{base}.{end}") for end in ["pem", "key", "csr", "ext"])
        openssl("req", *KEY, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions.write_text(f"subjectAltName={names}\n")
        openssl(
            "x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self.folder / "root.key", "-CAcreateserial",
            "-days", days, "-extfile", extensions, "-out", certificate,
        )
        return certificate, key
