# make PYTHON=/path/to/python3.12 demo   uses that Python for .venv
export PYTHON

.PHONY: help demo test docs generate readme clean
help:
	@echo "make demo      derive, generate, verify and train rnn, gru and lstm; results in demo-output/"
	@echo "make test      style, types, generated files and all tests"
	@echo "make docs      the site, with a page for each cell: build/site/html/index.html"
	@echo "make generate  write generated/ anew, after a change to equations or templates"
	@echo "make readme    write the generated parts of README.md and docs/pytorch.md anew"
	@echo "make clean     remove .venv, demo-output and caches"

demo:
	@sh tools/demo.sh

test:
	@sh tools/test.sh

docs:
	@sh tools/docs.sh

generate:
	@sh tools/venv.sh test
	@.venv/bin/symcell generate

readme:
	@sh tools/venv.sh test
	@.venv/bin/python tools/readme.py --write README.md
	@.venv/bin/python tools/readme.py --write docs/pytorch.md

clean:
	rm -rf .venv demo-output build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
