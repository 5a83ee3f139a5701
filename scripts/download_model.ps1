<#
.SYNOPSIS
Get models' files, or the token-id vocabulary, into this checkout, in a container.
.DESCRIPTION
Sizes and sha256 are checked; what is there already is not fetched again. -Variant picks the precision (fp32, fp16,
quantized, ...) of the models named; exactly one is installed at a time.
.EXAMPLE
.\scripts\download_model.ps1 all-MiniLM-L6-v2
.EXAMPLE
.\scripts\download_model.ps1 jina-embeddings-v3 -Variant fp16
.EXAMPLE
.\scripts\download_model.ps1 -List
#>
# Not by place: every name without a dash before it is a model.
[CmdletBinding(PositionalBinding = $false)]
param(
    [Parameter(ValueFromRemainingArguments = $true)]
    [string[]] $Name = @('all-MiniLM-L6-v2', 'cl100k_base'),
    [string] $Variant,
    [switch] $List
)

$ErrorActionPreference = 'Stop'
Set-Location (Split-Path -Parent $PSScriptRoot)

if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
    Write-Error 'docker was not found. Install Docker Desktop, then run this again.'
}
$command = @('models', 'list')
if (-not $List) {
    $command = @('models', 'pull') + $Name
    if ($Variant) { $command += @('--variant', $Variant) }
}
docker compose run --rm pull-all-minilm-l6-v2 @command
exit $LASTEXITCODE
