#!/bin/sh
# slim.sh VENV: takes out of an image what no run reads: the installers, torch's headers and test programs, the libraries' own tests.
set -eu
site=$(echo "$1"/lib/python3*/site-packages)
"$1/bin/python" -m pip uninstall --yes --quiet setuptools || true
rm -rf "$1"/bin/uv "$1"/bin/uvx "$1"/bin/pip* "$site"/pip "$site"/pip-*.dist-info "$1"/include "$1"/share
rm -rf "$site"/torch/include "$site"/torch/test "$site"/torch/share "$site"/torch/lib/*test*.so "$site"/torch/lib/libbackend_with_compiler.so
find "$site"/torch/bin -type f ! -name torch_shm_manager -delete
# numpy.testing, which scipy imports, needs one file of numpy's tests; scipy, scikit-learn and the others need none.
for library in scipy sklearn sympy mpmath onnx networkx matplotlib joblib greenlet rdflib; do
  [ -d "$site/$library" ] && find "$site/$library" -type d -name tests -prune -exec rm -rf {} +
done
rm -rf "$site"/onnx/backend/test
find "$site" -type d -name __pycache__ -prune -exec rm -rf {} +
