# MiloZero: the commands a newcomer needs. `make` alone lists them.
#
# Everything is installed into .venv beside this file, by plain pip; no other Python is touched.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help train imitate tune opensim registry test test-extras lint venv base gl clean

# What you may set: make train ENV_ID=Walker2d-v5 SEED=1 NUM_WORKERS=4 ARGS='--p_lr=1e-4'
ENV_ID ?= Hopper-v5
SEED ?= 0
NUM_WORKERS ?= 2
CONFIG ?= tasks/train_mujoco_ppo.yaml
ARGS ?=
MPIEXEC ?= $(VENV)/bin/mpiexec

VENV := .venv
PY := $(VENV)/bin/python
# A stamp's name holds a checksum of the requirements: it is missing exactly when an installation is due. The first is of
# what a run needs, the second of what tests, linters and the MLflow server need beside it, the third of Ray, the fourth of
# OpenSim.
STAMP := $(VENV)/.ready-$(shell cksum <requirements.txt | cut -d ' ' -f 1)
TOOLS := $(VENV)/.tools-$(shell cat requirements.txt requirements-dev.txt requirements-tune.txt | cksum | cut -d ' ' -f 1)
TUNE := $(VENV)/.tune-$(shell cat requirements.txt requirements-tune.txt | cksum | cut -d ' ' -f 1)
OPENSIM := $(VENV)/.opensim-$(shell cat requirements.txt requirements-opensim.txt | cksum | cut -d ' ' -f 1)
NEW_ENOUGH = -c 'import sys; sys.exit(sys.version_info < (3, 11))'
BASE_PYTHON = $(or $(PYTHON),$(shell for python in python3.11 python3 python3.12 python3.13; do \
	  $$python $(NEW_ENOUGH) 2>/dev/null && echo $$python && break; done),python3)

# A name of its own for each choice above, so that the same command continues its run and another one starts another.
quoted = '$(subst ','\'',$(1))'
ARGS_SUM := $(if $(strip $(ARGS)),_$(shell printf %s $(call quoted,$(ARGS)) | cksum | cut -d ' ' -f 1))
# What was chosen beside the defaults, so that a command shown next is about the same.
given = $(strip $(foreach name,$(1),$(if $(filter command environment,$(firstword $(origin $(name)))),$(name)=$(call shown,$($(name))))))
chosen = $(if $(given), $(given))
shown = $(if $(word 2,$(1))$(findstring ',$(1)),$(call quoted,$(1)),$(1))
NAME ?= make_train_$(NUM_WORKERS)_workers$(ARGS_SUM).$(ENV_ID).seed$(SEED)
RUN = data/runs/$(NAME)

# One thread a process: the workers are the parallelism, and more threads than cores slow all of them.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

# Inside a job of Slurm on one node, MPICH would ask srun for the workers, and wait for ever.
ifeq ($(and $(shell command -v srun),$(filter-out 0 1,$(SLURM_JOB_NUM_NODES))),)
export HYDRA_LAUNCHER ?= fork
endif
# Open MPI would bind the first worker of every run to the first core.
export OMPI_MCA_hwloc_base_binding_policy ?= none
export PRTE_MCA_hwloc_default_binding_policy ?= none

help:  ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo "  Variables of train: ENV_ID=$(ENV_ID) SEED=$(SEED) NUM_WORKERS=$(NUM_WORKERS) CONFIG=$(CONFIG) ARGS='$(ARGS)'"
	@echo "  And of imitate: NUM_DEMOS=$(NUM_DEMOS) NUM_TIMESTEPS=$(NUM_TIMESTEPS) DEMOS=$(DEMOS)"
	@echo "  Example: make train ENV_ID=Walker2d-v5 SEED=1 ARGS='--p_lr=1e-4'"

# Curves for TensorBoard, unless ARGS decides: a flag may stand once.
TENSORBOARD = $(if $(findstring tensorboard,$(ARGS)),,--tensorboard)

train: base gl  ## Train a policy with MPI workers, then record it: a learning curve and a video
	$(MPIEXEC) -n $(NUM_WORKERS) $(PY) main.py --task=train --config=$(CONFIG) --env_id=$(ENV_ID) --seed=$(SEED) --uuid=$(NAME) $(TENSORBOARD) $(ARGS)
	$(PY) main.py --task=eval --model_path=$(RUN) --iter_num="$$([ -e $(RUN)/checkpoints/best ] && echo best || echo latest)" --num_trajs=4 --record
	@echo
	@echo "Run folder   $(RUN)"
	@echo "Curve        $$(ls $(RUN)/learning_curve.png)"
	@echo "Video        $$(ls -t $(RUN)/videos/*.mp4 2>/dev/null | head -n 1)"
	@echo "Next"
	@$(if $(TENSORBOARD),echo "  $(VENV)/bin/tensorboard --logdir $(RUN)   its metrics as curves in a browser")
	@echo "  make train$(call chosen,ENV_ID CONFIG NUM_WORKERS ARGS) SEED=$$(($(SEED) + 1))   another seed"
	@echo "  make train$(call chosen,NUM_WORKERS) ENV_ID=HalfCheetah-v5   another environment"
	@echo "  $(PY) main.py --help_all   every setting, with its default, unit and bounds"
	@echo "  $(MPIEXEC) -n $(NUM_WORKERS) $(PY) main.py --task=verify_resume --model_path=$(RUN)"

# What more you may set: make imitate NUM_DEMOS=1 NUM_TIMESTEPS=1000000 DEMOS=data/demos/Walker2d-v5 ENV_ID=Walker2d-v5
DEMOS ?= data/demos/$(ENV_ID)
NUM_DEMOS ?= 4
NUM_TIMESTEPS ?= 500000

imitate: CONFIG = tasks/train_mujoco_gail.yaml
imitate: WAY = $(patsubst train_mujoco_%,%,$(basename $(notdir $(CONFIG))))
imitate: NAME = make_imitate_$(WAY)_$(NUM_DEMOS)_demos_$(NUM_TIMESTEPS)_steps_$(NUM_WORKERS)_workers$(ARGS_SUM).$(ENV_ID).seed$(SEED)

imitate: base gl  ## Learn from four demonstrations, then show it: a learning curve and a video beside the expert
	$(MPIEXEC) -n $(NUM_WORKERS) $(PY) main.py --task=train --config=$(CONFIG) --env_id=$(ENV_ID) --expert_path=$(DEMOS) --num_demos=$(NUM_DEMOS) --num_timesteps=$(NUM_TIMESTEPS) --seed=$(SEED) --uuid=$(NAME) $(ARGS)
	$(PY) main.py --task=eval --model_path=$(RUN) --iter_num=latest --num_trajs=4 --record --beside_expert
	@echo
	@echo "Run folder   $(RUN)"
	@echo "Curve        $$(ls $(RUN)/learning_curve.png)"
	@echo "Video        $$(ls -t $(RUN)/videos/*_beside_expert.mp4 2>/dev/null | head -n 1)"
	@echo "Next"
	@echo "  make imitate$(call chosen,NUM_WORKERS) ENV_ID=HalfCheetah-v5 NUM_TIMESTEPS=50000 CONFIG=tasks/train_mujoco_sam.yaml   fewer steps, from a memory"
	@echo "  make imitate$(call chosen,ENV_ID CONFIG DEMOS NUM_TIMESTEPS NUM_WORKERS SEED ARGS) NUM_DEMOS=1   from one demonstration"
	@echo "  make imitate$(call chosen,ENV_ID DEMOS NUM_WORKERS SEED) NUM_DEMOS=16 NUM_TIMESTEPS=50000 CONFIG=tasks/train_mujoco_bc.yaml   by behaviour cloning"
	@echo "  $(PY) main.py --task=demos --expert_path=$(DEMOS)   what was imitated"
	@echo "  $(MPIEXEC) -n $(NUM_WORKERS) $(PY) main.py --task=verify_resume --model_path=$(RUN)"

# The document's population on CartPole: make tune ARGS='--smoke-test --test-local'
tune: base $(TUNE)  ## Search PPO's settings on CartPole by population-based training on Ray Tune
	$(PY) tuner.py --config tasks/tune_classic_ppo.yaml --num_samples 8 --scheduler pbt --max_concurrent 2 $(ARGS)

opensim: base $(OPENSIM)  ## Install OpenSim and fetch its models; then: make train ENV_ID=Opensim-Arm-Reach-v0 CONFIG=tasks/train_opensim_sac.yaml

# What you may set: make registry PORT=5001 REGISTRY=/data/mlflow
PORT ?= 5000
REGISTRY ?= data/mlflow

registry: venv  ## Start an MLflow server on this machine: tracked runs and registered models; Ctrl-C stops it
	@mkdir -p '$(REGISTRY)/artifacts'
	@echo "MLflow's page, a few seconds from now:  http://127.0.0.1:$(PORT)"
	@echo "Files: $(REGISTRY) (database and artifacts)"
	@echo "In another terminal:"
	@echo "  export MLFLOW_TRACKING_URI=http://127.0.0.1:$(PORT)"
	@echo "  python main.py --config=tasks/train_classic_ppo.yaml --mlflow --register_models"
	@echo "  python -m registry list"
	@# Jobs are of its pages for language models; they are eight processes more.
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(PY) -m mlflow server --host 127.0.0.1 --port $(PORT) --workers 1 \
	  --backend-store-uri 'sqlite:///$(abspath $(REGISTRY))/mlflow.db' --artifacts-destination '$(abspath $(REGISTRY))/artifacts'

test: venv gl $(OPENSIM)  ## Run the test suite, two tests at a time; ARGS='-k gae' picks tests
	$(PY) -m pytest -n 2 --dist worksteal $(ARGS)

# Environments of other packages, whose pins differ from ours and from one another: each set lies over .venv, in .extras/.
EXTRAS := packages metaworld myosuite
extra_stamp = .extras/$(1)/.ready-$(shell cat requirements.txt requirements-dev.txt tests/extras/$(1).txt | cksum | cut -d ' ' -f 1)

test-extras: venv gl $(foreach each,$(EXTRAS),$(call extra_stamp,$(each)))  ## Train in environments of other packages (tests/extras), each set in an environment of its own; ARGS='-k Pong'
	@code=0; for each in $(EXTRAS); do .extras/$$each/bin/python -m pytest tests/extras/trains.py $(ARGS) || code=$$?; done; exit $$code

.extras/%: | $(TOOLS)
	@name=$(firstword $(subst /, ,$*)); echo "Setting up .extras/$$name: a minute, and the time of the downloads."; \
	rm -rf .extras/$$name && $(PY) -m venv .extras/$$name && \
	$(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$$(.extras/$$name/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/lent.pth" && \
	.extras/$$name/bin/python -m pip install --disable-pip-version-check $$([ -t 1 ] || echo --quiet) -r tests/extras/$$name.txt
	@touch $@

lint: venv  ## Run every linter and list the files to rework; ARGS=--fix mends what can be mended
	./super_linter.sh $(ARGS)

venv: base $(TOOLS)  ## Set up .venv alone; PYTHON=python3.12 picks the interpreter

base: $(STAMP)
ifdef PYTHON
	@[ "$$($(PYTHON) --version)" = "$$($(PY) --version)" ] || { \
	  echo "$(VENV) was made with $$($(PY) --version), and you ask for $$($(PYTHON) --version)."; \
	  echo "Remove it and make it again: make clean venv PYTHON=$(PYTHON)"; exit 1; }
else
	@:
endif

# A .venv whose interpreter is gone is made again.
ifneq ($(shell test -x $(PY) && echo found),found)
.PHONY: $(STAMP)
endif
$(STAMP):
	@[ -x $(PY) ] || $(BASE_PYTHON) $(NEW_ENOUGH) || { \
	  echo "Python 3.11 or newer is needed, and $(BASE_PYTHON) is $$($(BASE_PYTHON) --version 2>&1)."; \
	  echo "Name one: make venv PYTHON=/path/to/python3.11"; exit 1; }
	@[ -x $(PY) ] || $(BASE_PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "$(BASE_PYTHON) cannot make virtual environments."; \
	  echo "On Debian and Ubuntu: sudo apt-get install -y python3-venv"; exit 1; }
	@echo "Setting up $(VENV) with $$($(PY) --version): about a minute, and the time of the downloads."
	@$(PY) -m pip install --disable-pip-version-check $$([ -t 1 ] || echo --quiet) -r requirements.txt
	@rm -f $(VENV)/.ready-*
	@touch $@

$(TOOLS): $(STAMP)
	@echo "Adding what tests, linters and the MLflow server need: a minute, and the time of the downloads."
	@$(PY) -m pip install --disable-pip-version-check $$([ -t 1 ] || echo --quiet) -r requirements-dev.txt
	@rm -f $(VENV)/.tools-*
	@touch $@

$(TUNE): $(STAMP)
	@echo "Adding Ray Tune and Optuna: half a minute, and the time of the downloads."
	@$(PY) -m pip install --disable-pip-version-check $$([ -t 1 ] || echo --quiet) -r requirements-tune.txt
	@rm -f $(VENV)/.tune-*
	@touch $@

$(OPENSIM): $(STAMP)
	@echo "Adding OpenSim: 10 s, and the time of the downloads (82 MB)."
	@$(PY) -m pip install --disable-pip-version-check $$([ -t 1 ] || echo --quiet) -r requirements-opensim.txt
	@$(PY) -m environments.opensim.models
	@rm -f $(VENV)/.opensim-*
	@touch $@

# Videos need one system library, of EGL or of OSMesa. Looked for, and installed where that is allowed, once for each .venv.
SUDO = $(shell [ "$$(id -u)" = 0 ] || echo 'sudo -n ')
GL_COMMAND = $(SUDO)$$($(PY) -c 'from environments.rendering import GL_COMMAND; print(GL_COMMAND)')
CAN_RENDER = $(PY) -c 'from environments.rendering import choose_gl; raise SystemExit(choose_gl() is None)'

gl: $(VENV)/.rendering

$(VENV)/.rendering: | $(STAMP)
	@$(CAN_RENDER) || { \
	  echo "No library for offscreen rendering is here. Trying: $(GL_COMMAND)"; \
	  { $(GL_COMMAND) || { $(SUDO)apt-get update && $(GL_COMMAND); }; } </dev/null >$(VENV)/rendering.log 2>&1; \
	  $(CAN_RENDER) || echo "No videos until that command is run by who may (what was said: $(VENV)/rendering.log)."; }
	@touch $@

clean:  ## Remove .venv and the tools' caches; runs in data/ stay
	rm -rf $(VENV) .extras .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build
	find . -name __pycache__ -type d -not -path './data/*' -prune -exec rm -rf {} +
