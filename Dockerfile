# Everything but Vivado, Vitis HLS and a board:
#   docker build -t dsodenet .
#   docker run --rm dsodenet                                    the demo
#   docker run --rm -it -p 8888:8888 dsodenet make lab LAB="--ip=0.0.0.0 --no-browser"
FROM debian:12
RUN apt-get update -q && apt-get install -qy --no-install-recommends \
    python3-venv g++ make perl tcl qemu-user \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home user && mkdir /dsodenet && chown user /dsodenet
USER user
WORKDIR /dsodenet
COPY --chown=user . .
RUN make setup
ENV PATH="/dsodenet/.venv/bin:$PATH"
CMD ["make", "demo"]
