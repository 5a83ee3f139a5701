<#
.SYNOPSIS
Get a model's files, or the token-id vocabulary, into this checkout, in a container.
.EXAMPLE
.\scripts\download_model.ps1 all-MiniLM-L6-v2
#>
[CmdletBinding()]
param(
    [Parameter(ValueFromRemainingArguments = $true)]
    [string[]] $Name = @('all-MiniLM-L6-v2', 'cl100k_base')
)

$ErrorActionPreference = 'Stop'
Set-Location (Split-Path -Parent $PSScriptRoot)

if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
    Write-Error 'docker was not found. Install Docker Desktop, then run this again.'
}
docker compose run --rm pull-all-minilm-l6-v2 models pull @Name
exit $LASTEXITCODE
