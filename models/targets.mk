SEED ?= 0
MODEL_WEIGHTS ?= models/weights
TRAIN := PYTHONPATH=models $(BIN)/python -m lorapool_models

.PHONY: models
models: setup ## Train the small model and its adapters anew (2.5 hours on 2 cores; SEED=1, MODEL_WEIGHTS=folder; goes on where it was broken off)
	$(TRAIN).base.autoencoder --seed $(SEED)
	$(TRAIN).base.denoiser --seed $(SEED) --out $(MODEL_WEIGHTS)/shapes-xl
	$(TRAIN).adapters.train --seed $(SEED) --weights $(MODEL_WEIGHTS)
	$(TRAIN).show.evaluate --weights $(MODEL_WEIGHTS)

.PHONY: models-figures
models-figures: setup ## Judge the small model's pictures and its adapters' (several minutes)
	$(TRAIN).show.evaluate --weights $(MODEL_WEIGHTS)

.PHONY: pictures
pictures: setup ## Draw the README's pictures through lorapool itself (a minute or two)
	PYTHONPATH=models $(BIN)/python -m lorapool_models.show.gallery --weights $(MODEL_WEIGHTS)
