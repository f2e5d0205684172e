# Build and use, with Docker and with Apptainer: docs/INSTALL.md.
FROM python:3.11-slim
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /idd-lightning
COPY . .
ARG TORCH=pinned
ARG TORCH_INDEX
RUN make setup TORCH="$TORCH" TORCH_INDEX="$TORCH_INDEX"
ENV PATH=/idd-lightning/.venv/bin:$PATH
ENTRYPOINT ["python"]
CMD ["train.py", "--help"]
