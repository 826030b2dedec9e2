# irsde in a container, on the CPU or a GPU. Build it in a copy of the repository:
#   docker build -t irsde .
# PIP_ARGS is given to pip, for a mirror or for a build of torch without CUDA, which is a tenth of the size.
FROM python:3.13-slim
ARG PIP_ARGS=""
WORKDIR /src
COPY pyproject.toml constraints.txt LICENSE NOTICE README.md ./
COPY irsde_cli irsde_cli
RUN pip install --no-cache-dir $PIP_ARGS -c constraints.txt '.[hdr,heif,jxl,raw,watch]' && rm -rf /src
# Records of single pictures and downloaded weights.
VOLUME /state
ENV XDG_STATE_HOME=/state XDG_CACHE_HOME=/state
WORKDIR /pictures
ENTRYPOINT ["irsde"]
