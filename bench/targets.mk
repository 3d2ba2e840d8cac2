BENCH := $(BIN)/python -m lorapool_bench

.PHONY: bench-switch
bench-switch: setup ## From one adapter to the next, beside diffusers' own ways (some 15 minutes; SHAPE=half: smaller)
	$(BENCH).switch.bench $(if $(SHAPE),--shape $(SHAPE)) $(ARGS)

.PHONY: bench-overhead
bench-overhead: setup ## Seconds per step: bare, wrapped, with an adapter (SHAPE=sdxl: the real size)
	$(BENCH).overhead.bench $(if $(SHAPE),--shape $(SHAPE)) $(ARGS)

.PHONY: bench-compile
bench-compile: setup ## A step of the small base compiled, with an adapter or not, beside diffusers with PEFT (2 minutes)
	$(BENCH).compiled.bench $(ARGS)

.PHONY: bench-threads
bench-threads: setup ## A step of the small base on a CPU, once another thread has computed (3 minutes)
	$(BENCH).threads.bench $(ARGS)

.PHONY: bench-gpu
bench-gpu: setup ## Whole pictures: rate, latency, many adapters, beside diffusers; on a GPU, or in small on the CPU (10 minutes)
	$(BENCH).gpu.bench $(ARGS)

.PHONY: bench-coldstart
bench-coldstart: setup ## A pipeline from files to memory, beside diffusers' from_pretrained (SHAPE=sdxl: the real size)
	$(BENCH).coldstart.bench $(if $(SHAPE),--shape $(SHAPE)) $(ARGS)

.PHONY: bench-queue
bench-queue: setup ## A day of requests through the queue's order, on a simulated clock (seconds)
	$(BENCH).queue.bench $(ARGS)

.PHONY: bench-routing
bench-routing: setup ## Traces of requests through ways to choose a pod, on a simulated clock (a minute)
	$(BENCH).routing.bench $(ARGS)

.PHONY: bench-routing-real
bench-routing-real: setup ## Such a trace through gateways and pods that are processes, beside what is simulated (6 minutes)
	$(BENCH).routing.real.bench $(ARGS)

.PHONY: bench-gateway
bench-gateway: setup ## What the gateway adds to a request, beside nginx and LiteLLM; what it holds, how fast it refuses (some 4 minutes)
	$(BENCH).gateway.bench $(ARGS)

.PHONY: bench-gateway-peers
bench-gateway-peers: setup ## LiteLLM's proxy, and servers and clients for bare.py, for bench-gateway; below the cache (nginx: of the system)
	bench/peers.sh

.PHONY: bench-fleet
bench-fleet: setup ## Many pods and adapters: what the source is asked, how long it takes, what a pod needs (some 8 minutes)
	$(BENCH).fleet.bench $(ARGS)

.PHONY: bench-operator
bench-operator: setup ## Thousands of adapters: what they cost the operator, on a real API server (some 6 minutes)
	$(BENCH).operator.bench $(ARGS)

.PHONY: performance-page
performance-page: setup ## Write docs/performance.md from the results of the benches
	$(BENCH).page

.PHONY: dashboard
dashboard: setup ## Write the chart's Grafana dashboard from its table
	$(BENCH).dashboard.grafana

.PHONY: dashboard-picture
dashboard-picture: setup ## Draw the dashboard from a real run of some minutes (needs Go)
	$(BIN)/python -m tests.dashboard $(ARGS)
