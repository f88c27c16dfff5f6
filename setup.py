"""Builds the cleanplate package: the code in lib/, the shipped configuration in conf/."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
REVIEW = ["fastapi>=0.110", "uvicorn>=0.29"]

setup(
    name="cleanplate",
    version="0.1.0",
    description="Cleans photographs by the batch, on Spark and Delta Lake, and takes a whole batch back in one commit.",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    # conf/ stays at the top level, where an operator looks for it; the wheel carries it as cleanplate/conf.
    package_dir={"": "lib", "cleanplate.conf": "conf"},
    packages=[*find_packages("lib"), "cleanplate.conf"],
    package_data={
        "cleanplate": ["weights/*", "warehouse/*.sql", "rollout/*.j2", "rollout/*.css", "rollout/*.js", "rollout/web/*",
                       "evaluation/overlays/*.yaml", "py.typed"],
        "cleanplate.conf": ["*.yaml", "profiles/*.yaml", "spark/*.conf", "spark/*.properties"],
    },
    install_requires=[
        "boto3>=1.34",
        "jpeglib>=1.0",
        "jinja2>=3.1",
        "lpips>=0.1.4,<0.2",
        "numpy>=1.26",
        "onnx>=1.16",
        "onnxruntime>=1.17",
        "opencv-python-headless>=4.9",
        "pandas>=2.2,<3",
        "pebble>=5.0",
        "pillow>=10.3",
        "psutil>=5.9",
        "pyarrow>=15",
        "pydantic>=2.6",
        "pyyaml>=6.0",
        "rapidocr>=3.9,<4",
        "safetensors>=0.4",
        "scipy>=1.11",
        "tifffile>=2024.2",
        "torch>=2.3",
        "torchvision>=0.18",
        "tqdm>=4.66",
    ],
    extras_require={
        # On Databricks the runtime brings its own pyspark and delta.
        "spark": ["pyspark==4.2.0", "delta-spark==4.4.0"],
        "engines": ["spandrel>=0.4.2", "diffusers>=0.30", "transformers>=4.44"],
        # The web page of `cleanplate review`.
        "review": REVIEW,
        "dev": [*REVIEW, "deltalake>=1.0", "diffusers>=0.30", "httpx>=0.27", "mypy>=1.10", "pandas-stubs", "pytest>=8",
                "pytest-timeout>=2.3", "pytest-xdist>=3.5", "ruff>=0.6", "scikit-image>=0.22", "scikit-learn>=1.3",
                "selenium>=4.20", "spandrel>=0.4.2", "transformers>=4.44", "types-PyYAML"],
    },
    entry_points={"console_scripts": ["cleanplate = cleanplate.cli.main:main"]},
)
